/** The page that the gateway serves at `/`. */
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { warm } from "../text/index.ts";
import { getKey, setKey } from "./api.ts";
import { Chat } from "./chat.tsx";
import { Live } from "./live.tsx";

function Page() {
  const [where, setWhere] = useState(location.hash);
  const [key, change] = useState(getKey());
  useEffect(() => {
    const moved = (): void => setWhere(location.hash);
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  const streams = where === "#streams";
  return (
    <>
      <header>
        <h1>Tidegate</h1>
        <nav aria-label="Parts">
          <a href="#chat" aria-current={streams ? undefined : "page"}>Chat</a>
          <a href="#streams" aria-current={streams ? "page" : undefined}>Streams</a>
        </nav>
        <label>Key <input type="password" autocomplete="off" placeholder="tg-… if needed" value={key}
          onChange={(event) => {
            setKey(event.currentTarget.value.trim());
            change(event.currentTarget.value.trim());
          }} /></label>
      </header>
      <main>
        {/* The chat stays as it is while somebody looks at the streams: an answer may be running. */}
        <div hidden={streams}><Chat keyOf={key} /></div>
        {streams && <Live keyOf={key} />}
      </main>
    </>
  );
}

const root = document.getElementById("page") as HTMLElement;
root.replaceChildren();
render(<Page />, root);
(window.requestIdleCallback ?? setTimeout)(() => warm());
