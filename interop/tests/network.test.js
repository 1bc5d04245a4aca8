/** Networks that fail, with one peer connection (v1) and with two (v0). */

import { moves } from "../harness/moving.js";
import { setUp } from "../harness/suite.js";

const suite = setUp("network");
moves(suite, "v1", { singlePeerConnection: true });
moves(suite, "v0", { singlePeerConnection: false });
