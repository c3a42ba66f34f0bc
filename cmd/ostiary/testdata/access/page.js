// What the tests measure on a page (access_test.go): things that axe-core leaves to
// people. Each function returns a list of faults.
window.access = (() => {
  "use strict";

  const seen = e => e.checkVisibility({ visibilityProperty: true }) && e.getBoundingClientRect().width > 0;
  const name = e => e.outerHTML.replace(/\s+/g, " ").slice(0, 160);
  const all = selector => [...document.querySelectorAll(selector)];

  // Where Tab stops, in the order of the document: of a group of radio buttons, at one.
  function stops() {
    const groups = new Set();
    return all("a[href], button, input, select, textarea, summary, iframe, [tabindex], [contenteditable]").filter(e => {
      if (e.disabled || e.type === "hidden" || e.tabIndex < 0 || !seen(e)) return false;
      if (e.type !== "radio") return true;
      const group = all(`input[type=radio][name="${e.name}"]`);
      if (groups.has(e.name)) return false;
      const on = group.find(r => r.checked);
      if (on && on !== e) return false;
      groups.add(e.name);
      return true;
    });
  }

  // Colours as numbers, in whatever way they are written.
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  function rgba(colour) {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  }
  function background(e) {
    for (; e; e = e.parentElement) {
      const c = rgba(getComputedStyle(e).backgroundColor);
      if (c[3] > 250) return c;
    }
    return rgba("Canvas");
  }
  // WCAG 2.2, relative luminance and contrast ratio.
  function contrast(a, b) {
    const light = c => [.2126, .7152, .0722].reduce((sum, k, i) => {
      const v = c[i] / 255;
      return sum + k * (v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    }, 0);
    const [x, y] = [light(a), light(b)];
    return (Math.max(x, y) + .05) / (Math.min(x, y) + .05);
  }

  // WCAG 2.2 §2.4.7, §1.4.11, §2.4.11: the focus is seen, by an outline of 3:1 around
  // the element, or around what stands for it, and nothing covers it.
  function focusFaults(e) {
    if (e.localName === "iframe") return []; // it is in the other document
    let ratio = 0;
    for (const shown of [e, e.closest(".account, .sheet, label"), e.nextElementSibling].filter(Boolean)) {
      const style = getComputedStyle(shown);
      if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2) continue;
      const within = parseFloat(style.outlineOffset) < 0;
      ratio = Math.max(ratio, contrast(rgba(style.outlineColor), background(within ? shown : shown.parentElement)));
    }
    if (ratio === 0) return ["nobody sees the focus on " + name(e)];
    if (ratio < 3) return [`the focus has a contrast of ${ratio.toFixed(2)}:1 on ${name(e)}`];
    const r = e.getBoundingClientRect();
    const [top, bottom] = [Math.max(r.top, 0), Math.min(r.bottom, innerHeight)]; // what is in the window
    const on = top < bottom ? document.elementFromPoint(r.x + r.width / 2, (top + bottom) / 2) : null;
    if (!on) return ["the focus is out of sight on " + name(e)];
    if (!on.contains(e) && !e.contains(on) && !(e.labels && [...e.labels].some(l => l.contains(on)))) return [`${name(on)} covers ${name(e)}`];
    return [];
  }

  // Where the focus is: the index of its stop, and what is wrong with how it looks.
  function at() {
    const e = document.activeElement;
    if (!e || e === document.body || e === document.documentElement) return { index: -1, faults: [] };
    const index = stops().indexOf(e);
    if (index < 0) return { index: -1, faults: ["the keyboard stops where nobody would look for it: " + name(e)] };
    return { index, faults: focusFaults(e) };
  }
  const trail = [];

  async function violations(rules) {
    const found = await axe.run(document, { ...rules, resultTypes: ["violations"], preload: false, iframes: false });
    return found.violations.flatMap(v => v.nodes.map(n => `${v.id} (${v.helpUrl}): ${n.failureSummary.replace(/\s+/g, " ")}: ${n.html}`));
  }

  return {
    // Counts the stops, goes to where the page begins, and remembers from now on where
    // each key finds the focus, before it moves it on. Keys in a frame are seen by nobody
    // but the frame: that the focus left for it is remembered at once.
    follow() {
      document.body.tabIndex = -1;
      document.body.focus({ preventScroll: true });
      document.body.removeAttribute("tabindex");
      addEventListener("keydown", () => trail.push(at()), true);
      addEventListener("blur", () => setTimeout(() => trail.push(at())));
      return stops().length;
    },
    trail: () => [...trail, at()],

    at,

    // The same for every stop, without a keyboard.
    focus() {
      const before = document.activeElement;
      const faults = stops().flatMap(e => {
        e.focus({ focusVisible: true });
        e.scrollIntoView({ block: "nearest", behavior: "instant" });
        return focusFaults(e);
      });
      before.focus();
      return faults;
    },

    name: index => name(stops()[index]),

    // WCAG 2.2 §1.4.10, §1.4.4, §1.4.12: nothing stands out of the window, and no text
    // out of its box.
    overflow() {
      const faults = [];
      if (document.documentElement.scrollWidth > innerWidth) faults.push(`the page is ${document.documentElement.scrollWidth} pixels wide in a window of ${innerWidth}`);
      for (const e of all("body *")) {
        if (e.closest(".unseen, .skip, svg, [data-scrolls]") || !seen(e)) continue;
        const r = e.getBoundingClientRect(), style = getComputedStyle(e);
        if (r.right > innerWidth + .5 || r.left < -.5) faults.push("out of the window: " + name(e));
        else if (e.matches("button, a, label, h1, h2, p, summary, td, th, li, dd, dt") && style.display !== "inline" && e.scrollWidth > e.clientWidth + 1) faults.push("out of its box: " + name(e));
        else if (style.overflowY === "hidden" && e.scrollHeight > e.clientHeight + 1 && !e.matches("input, textarea, .paint")) faults.push("cut off: " + name(e));
      }
      return faults;
    },

    text: () => document.body.innerText.replace(/\s+/g, " ").trim(),

    // WCAG 2.2 §1.4.12, as large as it says.
    space() {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync("* { line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important } p { margin-bottom: 2em !important }");
      document.adoptedStyleSheets = [sheet];
    },
    unspace() { document.adoptedStyleSheets = []; },

    // WCAG 2.2 §2.3.3: what moves although the person wants it still.
    moving() {
      return all("body, body *").flatMap(e => {
        const style = getComputedStyle(e);
        const still = time => time.split(",").every(t => parseFloat(t) === 0);
        return still(style.transitionDuration) && (style.animationName === "none" || still(style.animationDuration)) ? [] : ["it moves: " + name(e)];
      });
    },

    // What is chosen or on must be seen without colours of ours as well: every button has
    // an edge or words, every field an edge.
    forced() {
      return all("input:not([type=hidden], [type=checkbox], [type=radio]), select, textarea").filter(seen).flatMap(e =>
        parseFloat(getComputedStyle(e.closest(".sheet") || e).borderTopWidth) > 0 ? [] : ["a field without an edge: " + name(e)]);
    },

    // WCAG 2.2 §1.3.5 and §3.3.8: fields say what they are for, and take what is pasted.
    fields(tokens) {
      return all("input:not([type=hidden], [type=checkbox], [type=radio]), select, textarea").flatMap(e => {
        const faults = [], said = e.getAttribute("autocomplete") || "";
        if (!(e.name in tokens)) faults.push(`the test does not know what the field "${e.name}" is for: ${name(e)}`);
        else if (!tokens[e.name].includes(said)) faults.push(`autocomplete="${said}", want one of "${tokens[e.name].join('", "')}": ${name(e)}`);
        if (e.dispatchEvent(new ClipboardEvent("paste", { bubbles: true, cancelable: true, clipboardData: new DataTransfer() })) === false) faults.push("it does not take what is pasted: " + name(e));
        return faults;
      });
    },

    // WCAG 2.2 §3.3.1, §3.3.3, §4.1.3: what is wrong is said aloud, and where it is.
    announced(kept) {
      const alerts = all("[role=alert]"), on = document.activeElement, faults = [];
      if (alerts.length !== 1 || !alerts[0].innerText.trim()) return [`${alerts.length} alerts`];
      const wrong = all("[aria-invalid=true]");
      for (const e of wrong) {
        const told = (e.getAttribute("aria-describedby") || "").split(" ").map(id => document.getElementById(id));
        if (!told.some(d => d && (d === alerts[0] || d.matches(".wrong")) && d.innerText.trim())) faults.push("it does not say what is wrong with it: " + name(e));
      }
      if (wrong.length > 0 && !wrong.includes(on)) faults.push("the focus is not where the mistake is, but on " + name(on));
      if (wrong.length === 0 && !all("[aria-describedby]").some(e => e.getAttribute("aria-describedby").split(" ").includes(alerts[0].id)) && on === document.body) faults.push("nothing leads to the alert");
      // §3.3.7: what was typed is still there, but for secrets.
      if (kept !== "none" && !document.querySelector(`[name="${kept}"]`).value) faults.push(`${kept} must be typed again`);
      return faults;
    },

    // WCAG 2.2 §3.2.3, §3.2.6: what is on every page stands at the same place on each.
    frame: () => all("body > *").filter(e => e.matches("header, nav, main, footer")).map(e => e.localName).join(" "),

    axe: (best = ["best-practice"]) => violations({
      runOnly: { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", ...best] },
      rules: { "target-size": { enabled: true } },
    }),
    // Of that, what hangs on colours.
    colours: () => violations({ runOnly: { type: "rule", values: ["color-contrast", "link-in-text-block"] } }),
  };
})();
