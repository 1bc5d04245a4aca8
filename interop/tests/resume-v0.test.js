/** Sessions that are taken up again, with two peer connections (v0). */

import { resumes } from "../harness/resuming.js";
import { setUp } from "../harness/suite.js";

resumes(setUp("resume-v0"), "v0", { singlePeerConnection: false });
