/** How many columns, and how large each tile, so that people are seen as large as the space allows. */

export interface Size {
  width: number;
  height: number;
}

export interface Grid extends Size {
  columns: number;
  rows: number;
}

/** Cameras send 16:9; a tile may be cut to anything between this and the tallest that its space allows. */
const WIDEST = 16 / 9;
const TALLEST = { landscape: 4 / 3, portrait: 3 / 4 };

/** Below this a face is not worth showing, in CSS pixels. */
const SMALLEST: Size = { width: 150, height: 112 };
/** More than this on one page is a crowd, and work for the decoder. */
const MOST = 25;

/** The grid for `count` tiles in `space` with `gap` between them. Width and height are those of one tile. */
export function gridFor(count: number, space: Size, gap: number): Grid {
  let best: Grid = { columns: 1, rows: Math.max(1, count), width: 0, height: 0 };
  let bestScore = -1;
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const tile = fit(space, columns, rows, gap);
    const score = usefulness(tile);
    if (score > bestScore) {
      bestScore = score;
      best = { columns, rows, ...tile };
    }
  }
  return best;
}

/** How many tiles of a useful size fit. At least one, whatever the space. */
export function capacity(space: Size, gap: number): number {
  const along = (total: number, one: number) => Math.max(1, Math.floor((total + gap) / (one + gap)));
  return Math.min(MOST, along(space.width, SMALLEST.width) * along(space.height, SMALLEST.height));
}

function fit(space: Size, columns: number, rows: number, gap: number): Size {
  const tallest = space.width > space.height ? TALLEST.landscape : TALLEST.portrait;
  const width = Math.max(0, (space.width - gap * (columns - 1)) / columns);
  const height = Math.max(0, (space.height - gap * (rows - 1)) / rows);
  return {
    width: Math.floor(Math.min(width, height * WIDEST)),
    height: Math.floor(Math.min(height, width / tallest)),
  };
}

/** Area seen. What has to be cut from a 16:9 picture to fill the tile counts a little less. */
function usefulness({ width, height }: Size): number {
  const uncut = Math.min(width, height * WIDEST) * Math.min(height, width / WIDEST);
  return uncut + 0.8 * (width * height - uncut);
}
