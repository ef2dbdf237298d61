/* Keeps a page that `nas watch --web` serves up to date; sliders, scrolling and open details stay. */
(function () {
  "use strict";
  var shown = null, held = false, lost = 0;
  var state = document.querySelector(".live-state pre"), gone = document.querySelector(".gone");
  var noAnswer = gone.textContent;
  var main = document.querySelector("main");
  addEventListener("pointerdown", function () { held = true; });
  ["pointerup", "pointercancel", "blur"].forEach(function (kind) {
    addEventListener(kind, function () { held = false; });
  });
  /* The sliders keep their own state (slidersState); here: open parts, and where the keyboard is. */
  function placeOf(element) {
    if (!element || element === document.body) return null;
    if (element.dataset.trial) return '[data-trial="' + element.dataset.trial + '"]';
    if (element.dataset.name) return '[data-kind="' + element.dataset.kind + '"][data-name="' + element.dataset.name + '"]';
    if (element.dataset.mark) return '[tabindex][data-mark="' + element.dataset.mark + '"]';
    if (element.dataset.copies) return (element.closest(".of-mark") ? ".of-mark" : ".live") + ' [data-copies="' + element.dataset.copies + '"]';
    var kind = [".device", ".reset", "canvas"].find(function (name) { return element.matches(name); });
    return kind || null;
  }
  function summaries(parts) {
    return parts.map(function (part) { return part.querySelector("summary").textContent; });
  }
  function kept() {
    var open = Array.from(document.querySelectorAll("details[open]"));
    return {open: summaries(open), focus: placeOf(document.activeElement)};
  }
  function restore(before) {
    startSliders();
    document.querySelectorAll("details").forEach(function (part) {
      part.open = before.open.indexOf(summaries([part])[0]) >= 0;
    });
    var focused = before.focus && document.querySelector(before.focus);
    if (focused) focused.focus({preventScroll: true});
  }
  function answer(name) {
    return fetch(name, {cache: "no-store"}).then(function (found) {
      if (!found.ok) return found.text().then(function (text) { throw new Error(text); });
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
    }).catch(function (error) {
      /* A TypeError is fetch's own: nobody has answered. */
      lost += 1;
      gone.textContent = error instanceof TypeError ? noAnswer : error.message;
      gone.hidden = lost < 3;
    }).then(function () { setTimeout(look, 1000); });
  }
  look();
})();
