import { streamFromPath } from "./address";
import { ListPage } from "./ListPage";
import { WatchPage } from "./WatchPage";

/** Live streams: one of them, or the list. */
export function Watch() {
  const stream = streamFromPath(location.pathname);
  return stream ? <WatchPage stream={stream} /> : <ListPage />;
}
