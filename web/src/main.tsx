/** The dashboard: a fleet, or one of its pools. */
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import "uplot/dist/uPlot.min.css";
import "./style.css";
import "./lab.css";
import { keepToken } from "./api/client";
import { isTyping } from "./keys";
import type { Route } from "./route";
import { useRoute } from "./state/hooks";
import { FleetView } from "./views/Fleet";
import { Help } from "./views/Help";
import { LabView } from "./views/lab/Lab";
import { PoolView } from "./views/Pool";

function App() {
  const [route, go] = useRoute();
  const [attempt, setAttempt] = useState(0);
  const [help, setHelp] = useState(false);
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      if (isTyping(event.target) || event.metaKey || event.ctrlKey || event.altKey) return;
      if (event.key === "?") setHelp((shown) => !shown);
      else if (event.key === "Escape" && help) setHelp(false);
      else if (event.key === "Escape" && route.view === "pool") go({ view: "fleet", filter: "" });
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  });
  useEffect(() => {
    document.title = title(route);
  }, [title(route)]);
  const onToken = (token: string): void => {
    keepToken(token);
    setAttempt((count) => count + 1);
  };
  return (
    <>
      {route.view === "fleet" && <FleetView filter={route.filter} attempt={attempt} go={go} onToken={onToken} />}
      {route.view === "pool" && <PoolView key={route.pool} route={route} attempt={attempt} go={go} onToken={onToken} />}
      {route.view === "lab" && <LabView step={route.step} attempt={attempt} onToken={onToken} />}
      <footer>
        <button type="button" class="plain" onClick={() => setHelp(true)}>
          Keys and signs <kbd>?</kbd>
        </button>
        {route.view === "lab" ? <a href="#/">Pools</a> : <a href="#/lab">Lab</a>}
        <a href="api/v1/openapi.json">API</a>
      </footer>
      {help && <Help onClose={() => setHelp(false)} />}
    </>
  );
}

function title(route: Route): string {
  if (route.view === "pool") return `${route.pool} · preheat`;
  return route.view === "lab" ? "Lab · preheat" : "preheat";
}

const place = document.getElementById("app");
if (place) {
  place.replaceChildren();
  render(<App />, place);
}
