/* One network of the page in a panel: its stages, curves, YAML and commands; buttons that copy text. */
function networksOf(data) {
  "use strict";
  var SVG = "http://www.w3.org/2000/svg";
  function element(name, text, kind) {
    var made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (kind) made.className = kind;
    return made;
  }
  function svg(name, attributes, text) {
    var made = document.createElementNS(SVG, name);
    Object.keys(attributes).forEach(function (key) { made.setAttribute(key, attributes[key]); });
    if (text !== undefined) made.textContent = text;
    return made;
  }
  function stagesOf(i) {
    var rows = document.createDocumentFragment();
    data.architecture[i].forEach(function (index, s) {
      var stage = data.stages[index], other = data.stages[data.reference[s]] || [];
      var row = element("tr");
      row.appendChild(element("td", s + 1));
      rows.appendChild(row);
      if (!stage[6]) {
        ["absent", "", "", "", "", "", ""].forEach(function (text) { row.appendChild(element("td", text)); });
        return;
      }
      for (var c = 0; c < 6; c++) {
        row.appendChild(element("td", stage[c], stage[c] === other[c] ? "" : "changed"));
      }
      var blocks = element("td", undefined, stage[6] === other[6] ? "blocks" : "blocks changed");
      blocks.appendChild(element("span", "■".repeat(Math.min(stage[6], 8)), stage[7] ? "full" : "depthwise"));
      blocks.appendChild(document.createTextNode(" ×" + stage[6]));
      row.appendChild(blocks);
    });
    return rows;
  }
  function curveOf(curve, words, kind) {
    var low = Math.min.apply(null, curve), high = Math.max.apply(null, curve), span = high - low || 1;
    var drawn = svg("svg", {viewBox: "0 0 440 70", role: "img", "aria-label": words + " by epoch"});
    var points = curve.map(function (value, e) {
      return (4 + 230 * e / (curve.length - 1)).toFixed(1) + "," + (60 - 50 * (value - low) / span).toFixed(1);
    });
    drawn.append(
      svg("polyline", {"class": "curve " + kind, points: points.join(" ")}),
      svg("text", {x: 244, y: 18}, words),
      svg("text", {x: 244, y: 38}, "epoch " + curve.length + ": " + curve[curve.length - 1].toPrecision(4)),
      svg("text", {x: 244, y: 58}, low.toPrecision(3) + " to " + high.toPrecision(3))
    );
    return drawn;
  }
  function curvesOf(i) {
    var found = document.createDocumentFragment(), held = false;
    data.curves.forEach(function (kind, k) {
      var curve = kind.values[i] || [];
      held = held || curve.length > 0;
      if (curve.length > 1) found.appendChild(curveOf(curve, kind.words, k ? "c2" : "c1"));
    });
    if (!held) found.appendChild(element("p", "Its curves are not in the page, which holds those of the best.", "soft"));
    return found;
  }
  /* The file that nas export writes, but for what only the run's log knows. */
  function yamlOf(i, figures) {
    var lines = data.architecture[i].map(function (index) { return data.lines[index]; });
    return "# nas describe trial" + data.trial[i] + ".yaml\n# Trial " + data.trial[i] + " of the run " + data.name +
      ": " + figures + "\n" + data.outsides[data.outside[i]] + "stages:\n" + lines.join("\n") + "\n";
  }
  return {
    /* Fills a panel with a trial, or with none of it. */
    show: function (panel, i, who, figures, commands) {
      function one(selector) { return panel.querySelector(selector); }
      one(".who").textContent = who;
      one(".commands").textContent = commands;
      one("details").hidden = i === undefined;
      one(".stages tbody").replaceChildren(i === undefined ? "" : stagesOf(i));
      one(".curve-place").replaceChildren(i === undefined ? "" : curvesOf(i));
      one(".yaml").textContent = i === undefined ? "" : yamlOf(i, figures);
      if (i !== undefined) one(".yaml-of").textContent = "Its YAML (trial " + data.trial[i] + ")";
    }
  };
}
document.addEventListener("click", function (event) {
  var button = event.target.closest && event.target.closest("button.copy");
  if (!button) return;
  var place = button.closest(".network").querySelector("." + button.dataset.copies);
  button.dataset.words = button.dataset.words || button.textContent;
  function said(words) { button.textContent = words; }
  function select() {
    getSelection().selectAllChildren(place);
    said("selected: copy with Ctrl+C");
  }
  if (navigator.clipboard) {
    navigator.clipboard.writeText(place.textContent).then(function () { said("copied"); }, select);
  } else {
    select();
  }
  setTimeout(function () { said(button.dataset.words); }, 3000);
});
