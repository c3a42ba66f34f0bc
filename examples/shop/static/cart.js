// Shows what is in the cart, beside the name of the shop: in this tab, and when another
// one has changed it. It reads the copy, which anybody may have changed; the shop does not.
const badge = document.getElementById("badge");

function read() {
  const cookie = document.cookie.split("; ").find((c) => c.startsWith("cart-copy="));
  if (!cookie) return null;
  try {
    const text = atob(cookie.slice("cart-copy=".length).replaceAll("-", "+").replaceAll("_", "/"));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (c) => c.charCodeAt(0))));
  } catch {
    return null; // whatever it is, it is no cart
  }
}

function show() {
  const cart = read();
  badge.hidden = !cart;
  if (cart) badge.textContent = `${Number(cart.pieces)} in the cart, ${String(cart.total).slice(0, 12)}`;
}

show();
document.addEventListener("visibilitychange", show);
addEventListener("focus", show);
