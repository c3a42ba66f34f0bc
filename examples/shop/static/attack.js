// Tells what the browser did with the script that follows in the page.
let refused = "";
document.addEventListener("securitypolicyviolation", (e) => {
  refused ||= e.effectiveDirective;
});
addEventListener("DOMContentLoaded", () => {
  // The report of a violation comes as a task of its own.
  setTimeout(() => {
    const robbed = document.documentElement.dataset.robbed;
    const says = document.getElementById("policy");
    says.className = robbed ? "bad" : "good";
    if (robbed) says.textContent = "The script ran: the second wall is gone.";
    else if (refused) says.textContent = `Your browser refused to run it: ${refused}.`;
    else says.textContent = "The script did not run, and your browser does not say why.";
  }, 50);
});
