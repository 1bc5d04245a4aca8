/** What happens on the way to the first picture, in the order in which it does when nothing is in the way. */

export const MILESTONES = ["begun", "asked", "loaded", "media", "shown", "drawn"] as const;

/**
 * - `begun`: the first script runs
 * - `asked`: the server has said where streams are
 * - `loaded`: the player's library is there, and the stream is asked for
 * - `media`: the stream's first bytes have come
 * - `shown`: its first picture is on the screen
 * - `drawn`: and the page stands around it
 */
export type Milestone = (typeof MILESTONES)[number];

/** For the browser's own tools, and for the test that adds up where the time goes. */
export function reached(milestone: Milestone): void {
  performance.mark(`watch:${milestone}`);
}
