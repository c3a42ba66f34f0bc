// Passkeys. A form asks the server what to ask, then the browser, and carries the
// answer as any other form does. Everything that people read stands in the page.
"use strict";
(() => {
  const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

  // Not every browser that has passkeys reads and writes their JSON by itself.
  const read = (options) => {
    options.challenge = bytes(options.challenge);
    if (options.user) options.user.id = bytes(options.user.id);
    for (const one of [...(options.allowCredentials ?? []), ...(options.excludeCredentials ?? [])]) one.id = bytes(one.id);
    return options;
  };
  const write = (passkey) => {
    const r = passkey.response;
    const response = { clientDataJSON: text(r.clientDataJSON) };
    if (r.attestationObject) {
      response.attestationObject = text(r.attestationObject);
      response.transports = r.getTransports?.() ?? [];
    } else {
      response.authenticatorData = text(r.authenticatorData);
      response.signature = text(r.signature);
      if (r.userHandle) response.userHandle = text(r.userHandle);
    }
    return JSON.stringify({
      id: passkey.id, rawId: text(passkey.rawId), type: passkey.type, response,
      authenticatorAttachment: passkey.authenticatorAttachment ?? undefined, clientExtensionResults: {},
    });
  };

  let waiting; // one question at a time: a new one ends the one before
  let sent = false;

  const ask = async (form, mediation) => {
    waiting?.abort();
    const { signal } = (waiting = new AbortController());
    const token = form.elements.token; // of the link that leads here
    const body = token && new URLSearchParams({ token: token.value });
    const answer = await fetch(form.dataset.ask, { method: "POST", headers: { Accept: "application/json" }, body, signal });
    if (answer.redirected) return location.assign(answer.url); // something else is to be done first
    if (!answer.ok) throw new Error(answer.status);
    const publicKey = read(await answer.json());
    const passkey = form.dataset.passkey === "create"
      ? await navigator.credentials.create({ publicKey, signal })
      : await navigator.credentials.get({ publicKey, signal, mediation });
    if (!passkey) throw new DOMException("", "NotAllowedError");
    form.elements.answer.value = write(passkey);
    for (const box of ["remember", "trust"]) { // they stand in the form above
      if (form.elements[box]) form.elements[box].value = document.getElementById(box)?.checked ? "1" : "";
    }
    sent = true;
    form.submit();
  };

  const kinds = { NotAllowedError: "denied", AbortError: "denied", InvalidStateError: "known", SecurityError: "site", NotSupportedError: "none", ConstraintError: "weak" };
  const say = (form, kind) => {
    const alert = form.querySelector(".alert");
    alert.lastElementChild.textContent = kind === "" ? "" : form.dataset[kind];
    alert.hidden = kind === "";
    if (kind === "") alert.removeAttribute("role");
    else alert.setAttribute("role", "alert"); // now, so that it is read out
  };

  const autofill = async (form) => {
    if (sent || !(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
    // What was asked is good for ten minutes, and people leave pages open.
    const again = setTimeout(() => autofill(form), 8 * 60 * 1000);
    try {
      await ask(form, "conditional");
    } catch {
      // Nobody has asked for anything, so nobody is told.
    } finally {
      clearTimeout(again);
    }
  };

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const button = form.querySelector("button");
    if (!window.PublicKeyCredential) {
      if (!("autofill" in form.dataset)) say(form, "none");
      continue;
    }
    button.hidden = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (button.ariaBusy === "true") return;
      button.ariaBusy = "true";
      say(form, "");
      try {
        await ask(form);
      } catch (e) {
        say(form, kinds[e.name] ?? "failed");
        if ("autofill" in form.dataset) autofill(form);
      }
      button.ariaBusy = "false";
    });
    if ("autofill" in form.dataset) autofill(form);
  }
  // A page that comes back from the browser's memory asks anew.
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    sent = false;
    for (const form of document.querySelectorAll("form[data-autofill]")) autofill(form);
  });

  // What is no use any more is not to be offered: WebAuthn Level 3 §5.1.10.
  const tell = async (name, said) => { try { await window.PublicKeyCredential?.[name]?.(said); } catch { /* it is a courtesy */ } };
  for (const { dataset: d } of document.querySelectorAll("[data-unknown]")) tell("signalUnknownCredential", { rpId: d.site, credentialId: d.unknown });
  for (const { dataset: d } of document.querySelectorAll("[data-handle]")) {
    tell("signalAllAcceptedCredentials", { rpId: d.site, userId: d.handle, allAcceptedCredentialIds: d.accepted.split(" ").filter(Boolean) });
  }
})();
