// A page with one shell. The connection is made again where it breaks; the shell goes on meanwhile.
"use strict";
const AGAIN_MS = 1000;
const name = /^#\w{1,32}$/.test(location.hash) ? location.hash.slice(1) : "main";
const terminal = new Terminal({ fontFamily: "monospace", cursorBlink: true, scrollback: 10000 });
const fit = new FitAddon.FitAddon();
terminal.loadAddon(fit);
terminal.open(document.getElementById("terminal"));
let socket = null;

function send(...message) {
  if (socket !== null && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function connect() {
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/terminals/${name}`);
  let ended = false;
  socket.onopen = () => { terminal.reset(); send("set_size", terminal.rows, terminal.cols); };
  socket.onmessage = (event) => {
    const [kind, text] = JSON.parse(event.data);
    if (kind === "stdout") terminal.write(text);
    if (kind === "disconnect") ended = true;
  };
  socket.onclose = async () => {
    terminal.write(ended ? "\r\n[the shell has ended; a new one begins]\r\n" : "\r\n[connection lost]\r\n");
    await new Promise((done) => setTimeout(done, AGAIN_MS));
    // Whoever is signed in no longer is asked for the password again.
    const page = await fetch("/", { redirect: "manual" }).catch(() => null);
    if (page !== null && page.type === "opaqueredirect") location.reload(); else connect();
  };
}

terminal.onData((text) => send("stdin", text));
terminal.onResize(({ rows, cols }) => send("set_size", rows, cols));
new ResizeObserver(() => fit.fit()).observe(document.getElementById("terminal"));
fit.fit();
terminal.focus();
connect();
