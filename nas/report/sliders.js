/* The reader's own trade-off: rewards, limits, winner and Pareto front of the trials in the page. */
var slidersState = null;  /* what the reader has set, by name and value: it outlives the numbers of the page */
var redrawSliders = function () {};
["(prefers-color-scheme: dark)", "print"].forEach(function (query) {
  matchMedia(query).addEventListener("change", function () { redrawSliders(); });
});
function startSliders() {
  "use strict";
  var section = document.querySelector(".sliders");
  var live = section && section.querySelector(".live");
  if (!live) return;
  var data = JSON.parse(section.querySelector('script[type="application/json"]').textContent);
  var count = data.trial.length;
  var WIDTH = 440, networks = networksOf(data), panel = live.querySelector(".network");
  var mark = document.querySelector(".network.of-mark");  // the network of a mark in the pictures of the front
  function all(selector) { return Array.from(live.querySelectorAll(selector)); }
  function one(selector) { return live.querySelector(selector); }
  function element(name, text, kind) {
    var made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (kind) made.className = kind;
    return made;
  }

  function own() {
    var exponents = {};
    data.terms.forEach(function (term) { exponents[term.name] = term.exponent; });
    return {exponents: exponents, limits: {step_time_ratio: null, params: null, objective: null},
            device: null, chosen: null, mark: null};
  }
  /* Exponents by term, limits by quantity (null: none), the name of a device, the number of a trial. */
  var state = slidersState = slidersState || own();
  var exponents = data.terms.map(function (term) {
    return term.name in state.exponents ? state.exponents[term.name] : term.exponent;
  });
  var limits = state.limits, device = null, chosen = null;
  var steps = data.step_time_ratio;  // null where the device has not measured the trial
  var logs = data.ratios.map(function (ratios) { return ratios.map(Math.log); });
  var logObjective = data.objective.map(Math.log);
  var stepTerm = data.terms.findIndex(function (term) { return term.name === "step_time_ratio"; });

  function number(value, digits) { return value.toFixed(digits); }
  function size(value) {
    if (value >= 1e6) return (value / 1e6).toPrecision(3) + " M";
    return value >= 1e3 ? (value / 1e3).toPrecision(3) + " k" : String(value);
  }

  /* ---- what is computed at each move */

  function eligible() {
    var found = [];
    for (var i = 0; i < count; i++) {
      if (steps[i] === null) continue;
      if (limits.step_time_ratio !== null && steps[i] > limits.step_time_ratio) continue;
      if (limits.params !== null && data.params[i] > limits.params) continue;
      if (limits.objective !== null && data.objective[i] < limits.objective) continue;
      found.push(i);
    }
    return found;
  }

  function logReward(i) {
    var total = logObjective[i];
    for (var t = 0; t < exponents.length; t++) {
      if (exponents[t] === 0) continue;
      total += exponents[t] * (t === stepTerm ? Math.log(steps[i]) : logs[t][i]);
    }
    return total;
  }
  /* By the trade-off that the page was written under, wherever the sliders are. */
  function writtenReward(i) {
    return Math.exp(data.terms.reduce(function (total, term, t) {
      return term.exponent === 0 ? total : total + term.exponent * logs[t][i];
    }, logObjective[i]));
  }

  function front(within) {
    /* The most accurate first: each is on the front unless one before it is as fast and as small. */
    var order = within.slice().sort(function (a, b) {
      return data.objective[b] - data.objective[a] || steps[a] - steps[b] || data.params[a] - data.params[b];
    });
    var kept = [];
    order.forEach(function (i) {
      var beaten = kept.some(function (k) { return steps[k] <= steps[i] && data.params[k] <= data.params[i]; });
      if (!beaten) kept.push(i);
    });
    return kept;
  }

  /* ---- pictures */

  function place(scale, value) {
    var low = scale.logarithmic ? Math.log(scale.low) : scale.low;
    var high = scale.logarithmic ? Math.log(scale.high) : scale.high;
    var inner = scale.logarithmic ? Math.log(value) : value;
    return scale.start + (inner - low) / (high - low) * (scale.end - scale.start);
  }
  var canvases = all("canvas").map(function (canvas, p) {
    return {canvas: canvas, plot: data.plots[p], x: [], y: []};
  });
  function positions() {
    canvases.forEach(function (drawn) {
      var plot = drawn.plot, values = plot.name === "params" ? data.params : steps;
      drawn.x = values.map(function (v) { return v === null ? NaN : place(plot.x, v * plot.unit); });
      drawn.y = data.objective.map(function (v) { return v < plot.y.low ? NaN : place(plot.y, v); });
    });
  }
  function draw(within, rings, best) {
    var style = getComputedStyle(document.documentElement);
    var colour = function (name) { return style.getPropertyValue("--" + name).trim(); };
    var inside = new Uint8Array(count);
    within.forEach(function (i) { inside[i] = 1; });
    canvases.forEach(function (drawn) {
      var context = drawn.canvas.getContext("2d"), factor = drawn.canvas.width / WIDTH;
      context.setTransform(factor, 0, 0, factor, 0, 0);
      context.clearRect(0, 0, WIDTH, drawn.canvas.height / factor);
      function dot(i, radius) {
        context.beginPath();
        context.arc(drawn.x[i], drawn.y[i], radius, 0, 2 * Math.PI);
      }
      [0, 1].forEach(function (layer) {
        context.fillStyle = colour(layer ? "c1" : "none");
        context.globalAlpha = layer ? 0.55 : 0.3;
        for (var i = 0; i < count; i++) {
          if (inside[i] === layer) context.fillRect(drawn.x[i] - 2.2, drawn.y[i] - 2.2, 4.4, 4.4);
        }
      });
      context.globalAlpha = 1;
      context.lineWidth = 1.8;
      context.strokeStyle = colour("c3");
      context.fillStyle = colour("paper");
      rings.forEach(function (i) { dot(i, 4.2); context.fill(); context.stroke(); });
      if (best === undefined) return;
      context.fillStyle = colour("c2");
      dot(best, 6.5);
      context.fill();
      if (chosen !== null) {
        context.strokeStyle = colour("ink");
        context.lineWidth = 2.5;
        dot(chosen, 8);
        context.stroke();
      }
      var words = "trial " + data.trial[best], left = drawn.x[best] + 70 > WIDTH - 14;
      context.font = "600 13px system-ui, sans-serif";
      context.textAlign = left ? "right" : "left";
      context.lineWidth = 4;
      context.strokeStyle = colour("paper");
      var x = drawn.x[best] + (left ? -10 : 10), y = Math.max(drawn.y[best] - 9, 36);
      context.strokeText(words, x, y);
      context.fillText(words, x, y);
    });
  }

  /* ---- words */

  function command(best) {
    var words = exponents.map(function (value, t) { return data.terms[t].name + "=" + Number(value.toFixed(4)); });
    var at = device === null ? data.options : " --device " + data.devices[device].option;
    var lines = ["nas report " + data.run + " --reward " + words.join(",") + at];
    if (best !== undefined) lines.push(exportCommand(best));
    return lines.join("\n");
  }
  function exportCommand(i) {
    return "nas export " + data.run + " --trial " + data.trial[i] + " -o trial" + data.trial[i] + ".yaml";
  }
  function cells(row, values, kinds) {
    values.forEach(function (value, c) { row.appendChild(element("td", value, kinds && kinds[c])); });
    return row;
  }
  function figures(i) {
    return [number(data.objective[i], 4), number(steps[i], 2) + "×", size(data.params[i]),
            number(Math.exp(logReward(i)), 4)];
  }
  function inWords(f) {
    return data.objective_words + " " + f[0] + ", step time " + f[1] + ", " + f[2] + " parameters, reward " + f[3];
  }
  /* A mark in the pictures of the front, under the trade-off that the page was written under. */
  function showMark() {
    var i = data.trial.indexOf(state.mark);
    mark.hidden = i < 0;
    if (i < 0) return;
    var words = inWords([number(data.objective[i], 4), number(data.step_time_ratio[i], 2) + "×", size(data.params[i]),
                         number(writtenReward(i), 4)]);
    networks.show(mark, i, "Trial " + data.trial[i] + ", " + words, words, exportCommand(i));
  }
  function choose(i) {
    chosen = i;
    state.chosen = i === null ? null : data.trial[i];
    update();
  }

  /* ---- everything, at each move */

  var lastRings = null;
  function update() {
    var within = eligible(), rewards = new Float64Array(count);
    within.forEach(function (i) { rewards[i] = logReward(i); });
    var order = within.slice().sort(function (a, b) { return rewards[b] - rewards[a] || a - b; });
    var rings = lastRings || (lastRings = front(within));
    var best = order[0], shown = chosen === null ? best : chosen;
    one(".count").textContent = within.length + " of " + count + " trials are within the limits";
    draw(within, rings, best);
    if (shown === undefined) {
      networks.show(panel, undefined, "No trial is within these limits", "", command());
    } else {
      var f = figures(shown);
      networks.show(panel, shown, (shown === best ? "The best: trial " : "Trial ") + data.trial[shown] + ", " +
        inWords(f), inWords(f), command(shown));
    }
    var rows = order.slice(0, 10).map(function (i) {
      var row = element("tr"), name = element("td"), button = element("button", "trial " + data.trial[i], "link");
      button.type = "button";
      button.dataset.trial = data.trial[i];
      button.addEventListener("click", function () { choose(i); });
      name.appendChild(button);
      row.appendChild(name);
      return cells(row, figures(i), ["n", "n", "n", "n"]);
    });
    var focused = document.activeElement && document.activeElement.dataset.trial;
    one(".best tbody").replaceChildren.apply(one(".best tbody"), rows);
    var again = focused && one('[data-trial="' + focused + '"]');
    if (again) again.focus({preventScroll: true});
  }
  var asked = false;
  function soon() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(function () { asked = false; update(); });
  }

  /* ---- controls */

  function extent(name) {
    var values = (name === "step_time_ratio" ? steps : data[name]).filter(function (value) {
      return value !== null;
    });
    return [Math.min.apply(null, values), Math.max.apply(null, values)];
  }
  /* A slider's end is no limit; between, costs are spaced as logarithms, the objective evenly. */
  function limitAt(name, share) {
    var ends = extent(name);
    if (share === (name === "objective" ? 0 : 1)) return null;
    if (share === 1) return ends[1];
    if (name === "objective") return ends[0] + share * (ends[1] - ends[0]);
    return ends[0] * Math.pow(ends[1] / ends[0], share);
  }
  function shareOf(name, value) {
    var ends = extent(name);
    if (value === null) return name === "objective" ? 0 : 1;
    if (ends[0] === ends[1]) return 0.5;
    var share = name === "objective" ? (value - ends[0]) / (ends[1] - ends[0])
      : Math.log(value / ends[0]) / Math.log(ends[1] / ends[0]);
    return Math.min(Math.max(share, 0.005), 0.995);  /* an end would say that there is none */
  }
  function limitWords(name, value) {
    if (value === null) return "any";
    return name === "params" ? size(value) : name === "objective" ? number(value, 3) : number(value, 2) + "×";
  }
  function termOf(input) {
    return data.terms.findIndex(function (term) { return term.name === input.dataset.name; });
  }
  function show(input) {
    /* What is set, in words and as the slider's place; the place may lie between two of its steps. */
    var name = input.dataset.name, words;
    if (input.dataset.kind === "exponent") {
      input.value = exponents[termOf(input)];
      words = String(Number(exponents[termOf(input)].toFixed(6))).replace("-", "\u2212");
    } else {
      input.value = Math.round(Number(input.max) * shareOf(name, limits[name]));
      words = limitWords(name, limits[name]);
    }
    input.parentElement.querySelector("output").textContent = words;
    input.setAttribute("aria-valuetext", words);
  }
  function move(input) {
    var name = input.dataset.name;
    if (input.dataset.kind === "exponent") {
      exponents[termOf(input)] = state.exponents[name] = Number(input.value);
    } else {
      limits[name] = limitAt(name, Number(input.value) / Number(input.max));
      lastRings = null;
    }
    var place = input.value;
    show(input);
    input.value = place;
  }
  var inputs = all("input[type=range]");
  inputs.forEach(function (input) {
    input.addEventListener("input", function () { chosen = state.chosen = null; move(input); soon(); });
  });
  var select = one(".device");
  function takeDevice() {
    device = data.devices.findIndex(function (found) { return found.name === state.device; });
    device = device < 0 ? null : device;
    if (device === null) state.device = null;
    if (select) select.value = device === null ? "" : String(device);
    steps = data.step_time_ratio;
    if (device !== null) {
      steps = new Array(count).fill(null);
      data.devices[device].trials.forEach(function (i, k) { steps[i] = data.devices[device].ratios[k]; });
    }
    lastRings = null;
    positions();
    inputs.forEach(show);
  }
  if (select) {
    select.addEventListener("change", function () {
      state.device = select.value === "" ? null : data.devices[Number(select.value)].name;
      chosen = state.chosen = null;
      takeDevice();
      soon();
    });
  }
  one(".reset").addEventListener("click", function () {
    state = slidersState = own();
    limits = state.limits;
    exponents = data.terms.map(function (term) { return term.exponent; });
    chosen = null;
    takeDevice();
    soon();
  });
  one("form").addEventListener("submit", function (event) { event.preventDefault(); });
  canvases.forEach(function (drawn) {
    drawn.canvas.addEventListener("click", function (event) {
      var box = drawn.canvas.getBoundingClientRect(), factor = WIDTH / box.width;
      var x = (event.clientX - box.left) * factor, y = (event.clientY - box.top) * factor;
      var nearest = null, least = 20 * 20;
      eligible().forEach(function (i) {
        var away = Math.pow(drawn.x[i] - x, 2) + Math.pow(drawn.y[i] - y, 2);
        if (away < least) { least = away; nearest = i; }
      });
      choose(nearest);
    });
    drawn.canvas.addEventListener("keydown", function (event) {
      var step = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1}[event.key];
      if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      /* Left and right: along the front in this picture; up and down: through the ranking. */
      var within = eligible(), along = event.key === "ArrowLeft" || event.key === "ArrowRight";
      var order = along ? front(within).sort(function (a, b) { return drawn.x[a] - drawn.x[b]; })
        : within.sort(function (a, b) { return logReward(b) - logReward(a) || a - b; });
      var at = order.indexOf(chosen);
      if (order.length) choose(order[at < 0 ? 0 : Math.min(Math.max(at + step, 0), order.length - 1)]);
    });
  });
  if (mark) {
    document.querySelectorAll(".of-marks").forEach(function (words) { words.hidden = false; });
    document.querySelectorAll("[data-mark]").forEach(function (each) {
      if (data.trial.indexOf(Number(each.dataset.mark)) < 0) return;  // it has no numbers to show
      function take() {
        state.mark = Number(each.dataset.mark);
        showMark();
      }
      each.classList.add("leads");
      if (each.hasAttribute("tabindex")) each.setAttribute("role", "button");
      each.addEventListener("click", take);
      each.addEventListener("keydown", function (event) {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        take();
      });
    });
    showMark();
  }
  redrawSliders = update;

  section.querySelector(".without").hidden = true;
  live.hidden = false;
  takeDevice();
  chosen = data.trial.indexOf(state.chosen);
  if (chosen < 0) chosen = null;
  update();
}
startSliders();
