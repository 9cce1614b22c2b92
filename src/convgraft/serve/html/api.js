"use strict";
// Asking the server. What goes wrong is thrown in the server's own words.
const TOKEN = "convgraft-token";

async function ask(path, options = {}) {
  const token = sessionStorage.getItem(TOKEN);
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. Is it still running?");
  }
  const data = await answer.json().catch(() => null);
  if (answer.ok && data) return data;
  const problem = new Error(data?.error ? said(data.error) : `The server answered ${answer.status}.`);
  problem.status = answer.status;
  throw problem;
}

function said({ what, expected, found }) {
  const more = [expected && `expected: ${expected}`, found && `found: ${found}`].filter(Boolean);
  return more.length ? `${what} (${more.join("; ")})` : what;
}

function asForm(file) {
  const form = new FormData();
  form.append("images", file, file.name || "picture");
  return { method: "POST", body: form };
}
