// An open page looks once a second whether its session is over, and says so.
const looking = setInterval(async () => {
  try {
    const answer = await fetch("/session", { cache: "no-store" });
    if (answer.status === 401 && !leaving) location.replace("/welcome?said=elsewhere");
  } catch {
    // The application is away: nothing is known to have ended.
  }
}, 1000);

// Whoever signs out here is on the way to the server, and is not to be stopped.
let leaving = false;
document.addEventListener("submit", () => {
  leaving = true;
  clearInterval(looking);
});
