// The frame that applications ask whether the person is still signed in: OpenID
// Connect Session Management 1.0, section 3.2. It knows no more than a cookie that
// holds nothing secret, and answers whoever asks; the asker's origin is part of
// what is compared, so nobody learns anything about another application.
(function () {
  "use strict";

  var cookie = document.documentElement.getAttribute("data-cookie") + "=";

  // One for each person who is signed in at this browser.
  function states() {
    var all = document.cookie.split("; "), i;
    for (i = 0; i < all.length; i++) {
      if (all[i].indexOf(cookie) === 0) {
        return all[i].slice(cookie.length).split(".");
      }
    }
    return [];
  }

  // FIPS 180-4. crypto.subtle would answer later and not in every browser.
  function sha256(text) {
    var k = [], h = [], words = [], w = [], hex = "", n, i, j, d, a, b, t;
    function fraction(x) {
      return ((x - Math.floor(x)) * 4294967296) | 0;
    }
    function turn(x, by) {
      return (x >>> by) | (x << (32 - by));
    }
    for (n = 2; k.length < 64; n++) {
      for (d = 2; d * d <= n && n % d !== 0; d++) {}
      if (d * d > n) {
        if (h.length < 8) {
          h.push(fraction(Math.pow(n, 1 / 2)));
        }
        k.push(fraction(Math.pow(n, 1 / 3)));
      }
    }
    text = unescape(encodeURIComponent(text)); // its bytes, in UTF-8
    for (i = 0; i < text.length; i++) {
      words[i >> 2] |= text.charCodeAt(i) << (24 - (i % 4) * 8);
    }
    words[i >> 2] |= 128 << (24 - (i % 4) * 8);
    n = (((i + 8) >> 6) + 1) * 16;
    words[n - 1] = i * 8;
    for (i = 0; i < n; i += 16) {
      d = h.slice(0);
      for (j = 0; j < 64; j++) {
        if (j < 16) {
          w[j] = words[i + j] | 0;
        } else {
          a = w[j - 15];
          b = w[j - 2];
          w[j] = (w[j - 16] + (turn(a, 7) ^ turn(a, 18) ^ (a >>> 3)) + w[j - 7] + (turn(b, 17) ^ turn(b, 19) ^ (b >>> 10))) | 0;
        }
        t = (d[7] + (turn(d[4], 6) ^ turn(d[4], 11) ^ turn(d[4], 25)) + ((d[4] & d[5]) ^ (~d[4] & d[6])) + k[j] + w[j]) | 0;
        a = ((turn(d[0], 2) ^ turn(d[0], 13) ^ turn(d[0], 22)) + ((d[0] & d[1]) ^ (d[0] & d[2]) ^ (d[1] & d[2]))) | 0;
        d.unshift((t + a) | 0);
        d[4] = (d[4] + t) | 0;
        d.pop();
      }
      for (j = 0; j < 8; j++) {
        h[j] = (h[j] + d[j]) | 0;
      }
    }
    for (j = 0; j < 8; j++) {
      hex += ("0000000" + (h[j] >>> 0).toString(16)).slice(-8);
    }
    return hex;
  }

  function answer(data, origin) {
    var space, dot, all, i;
    if (typeof data !== "string" || data.length > 2048) {
      return "error";
    }
    space = data.lastIndexOf(" ");
    dot = data.lastIndexOf(".");
    if (space < 1 || dot !== space + 65) {
      return "error";
    }
    data = [data.slice(0, space), data.slice(space + 1, dot), data.slice(dot + 1)];
    all = states();
    for (i = 0; i < all.length; i++) {
      if (sha256([data[0], origin, all[i], data[2]].join(" ")) === data[1]) {
        return "unchanged";
      }
    }
    return "changed";
  }

  window.addEventListener("message", function (e) {
    if (e.source && e.origin && e.origin !== "null") {
      e.source.postMessage(answer(e.data, e.origin), e.origin);
    }
  }, false);
}());
