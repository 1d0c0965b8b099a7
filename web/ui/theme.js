// Sets the chosen theme before the first paint. A classic script on purpose: modules run too late.
// No choice means the system's theme, which css/tokens.css follows by itself.
(function () {
  let theme = null;
  try {
    theme = localStorage.getItem('wf.theme');
  } catch {
    // Storage may be forbidden; the system's theme is right then.
  }
  if (theme === 'dark' || theme === 'light') document.documentElement.dataset.theme = theme;
})();
