/* Keeps a page that `nas watch --web` serves up to date; sliders, scrolling and open details stay. */
(function () {
  "use strict";
  var shown = null, held = false, lost = 0;
  var state = document.querySelector(".live-state pre"), gone = document.querySelector(".gone");
  var main = document.querySelector("main");
  addEventListener("pointerdown", function () { held = true; });
  ["pointerup", "pointercancel", "blur"].forEach(function (kind) {
    addEventListener(kind, function () { held = false; });
  });
  function kept() {
    /* What the reader has set: by name, since the elements are new ones afterwards. */
    var values = {}, open = [];
    document.querySelectorAll(".live input, .live select").forEach(function (input) {
      values[input.dataset.name ? input.dataset.kind + input.dataset.name : "device"] = input.value;
    });
    document.querySelectorAll("details").forEach(function (part, i) { if (part.open) open.push(i); });
    var on = document.activeElement, name = on && on.dataset && on.dataset.name;
    return {values: values, open: open, focus: name ? on.dataset.kind + name : null};
  }
  function restore(before) {
    startSliders();
    document.querySelectorAll(".live input, .live select").forEach(function (input) {
      var name = input.dataset.name ? input.dataset.kind + input.dataset.name : "device";
      var value = before.values[name];
      if (value !== undefined && value !== input.value) {
        input.value = value;
        input.dispatchEvent(new Event(name === "device" ? "change" : "input"));
      }
      if (before.focus === name) input.focus({preventScroll: true});
    });
    document.querySelectorAll("details").forEach(function (part, i) { part.open = before.open.indexOf(i) >= 0; });
  }
  function answer(name) {
    return fetch(name, {cache: "no-store"}).then(function (found) {
      if (!found.ok) throw new Error(name + ": " + found.status);
      return name === "state" ? found.json() : found.text();
    });
  }
  function look() {
    answer("state").then(function (found) {
      lost = 0;
      gone.hidden = true;
      if (state.textContent !== found.text) state.textContent = found.text;
      if (found.version === shown || held) return null;
      return answer("sections").then(function (text) {
        var before = kept(), top = scrollY;
        main.innerHTML = text;
        restore(before);
        scrollTo(0, top);
        shown = found.version;
      });
    }).catch(function () {
      lost += 1;
      gone.hidden = lost < 3;
    }).then(function () { setTimeout(look, 1000); });
  }
  look();
})();
