/** Sessions that are taken up again, with one peer connection (v1). */

import { resumes } from "../harness/resuming.js";
import { setUp } from "../harness/suite.js";

resumes(setUp("resume-v1"), "v1", { singlePeerConnection: true });
