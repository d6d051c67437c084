"""The page that shows a live input in a browser."""

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>vdib live</title>
<link rel="icon" href="data:,">
<style>
body { font: 14px system-ui, sans-serif; margin: 2em; color: #303030; background: #fff }
figure { display: inline-block; margin: 0 1.5em 1em 0; vertical-align: top }
img { height: 280px; image-rendering: pixelated; background: #eee; border: 1px solid #ccc }
#raster { width: 280px }
figcaption, th { color: #757575; font-weight: normal; text-align: left }
td { padding-left: 1em; font-variant-numeric: tabular-nums }
#label { font-size: 3em }
</style>
<h1>vdib live</h1>
<figure><img id="events" alt="events"><figcaption>events (ON light, OFF dark)</figcaption></figure>
<figure><img id="raster" alt="code"><figcaption>code (neurons, steps)</figcaption></figure>
<figure><img id="image" alt="image"><figcaption>image</figcaption></figure>
<p id="label"></p><table id="figures"></table><p id="state">waiting</p>
<script>
const source = new EventSource("stream");
const at = id => document.getElementById(id);
source.onerror = () => { at("state").textContent = "the command is gone" };
source.onmessage = message => {
  const now = JSON.parse(message.data);
  at("state").textContent = "";
  for (const name of ["events", "raster", "image"])
    if (now[name]) at(name).src = "data:image/png;base64," + now[name];
  at("label").textContent = now.label || "";
  const {lost_words: lost, ...status} = now.status;
  at("figures").replaceChildren(...Object.entries(status).map(([name, value]) => {
    const row = document.createElement("tr"), head = document.createElement("th");
    const cell = document.createElement("td");
    head.textContent = name === "lost" ? lost : name.replaceAll("_", " ");
    cell.textContent = value === null ? "unknown" : value.toLocaleString();
    row.append(head, cell);
    return row;
  }));
};
</script>
</html>
"""
