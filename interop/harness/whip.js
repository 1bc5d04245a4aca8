/** Pages with a plain RTCPeerConnection, which publish and play over HTTP (RFC 9725), from another origin than the server's. */

export const SIZE = { width: 640, height: 360 };

export const endpointOf = (suite) => `${suite.server.http}/whip/v1`;

/** A page that publishes a picture and a tone. */
export async function publishWhip(suite, identity, room, { layers, trickle = false, video = "VP8", size = SIZE, rsa = false } = {}) {
  const someone = await suite.someone(identity);
  const token = await suite.server.token(identity, room);
  const url = endpointOf(suite);
  const answered = await someone.page.evaluate(startWhip, { url, token, size, layers, trickle, video, rsa });
  return { someone, token, resource: new URL(answered.location, url).href, ...answered };
}

/** Runs in the page. */
async function startWhip({ url, token, size, layers, trickle, video, rsa }) {
  const canvas = Object.assign(document.createElement("canvas"), size);
  const brush = canvas.getContext("2d");
  let shade = 0;
  setInterval(() => {
    brush.fillStyle = `rgb(30,160,${80 + (shade = (shade + 1) % 20)})`;
    brush.fillRect(0, 0, canvas.width, canvas.height);
  }, 60);
  const sound = new AudioContext();
  const tone = sound.createOscillator();
  const out = sound.createMediaStreamDestination();
  tone.connect(out);
  tone.start();
  const kind = { name: "RSASSA-PKCS1-v1_5", modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: "SHA-256" };
  const certificates = rsa ? [await RTCPeerConnection.generateCertificate(kind)] : undefined;
  const pc = (window.whip = new RTCPeerConnection({ certificates }));
  const stream = canvas.captureStream(15);
  pc.addTransceiver(out.stream.getAudioTracks()[0], { direction: "sendonly" });
  const camera = pc.addTransceiver(stream.getVideoTracks()[0], { direction: "sendonly", sendEncodings: layers });
  const capable = RTCRtpSender.getCapabilities("video").codecs;
  camera.setCodecPreferences(capable.filter((c) => c.mimeType === `video/${video}` || c.mimeType === "video/rtx"));
  const candidates = [];
  pc.onicecandidate = ({ candidate }) => candidate?.candidate && candidates.push(candidate.candidate);
  await pc.setLocalDescription();
  const authorization = `Bearer ${token}`;
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/sdp", authorization },
    body: pc.localDescription.sdp,
  });
  const answer = await response.text();
  if (!response.ok) throw new Error(`${response.status} ${answer}`);
  const [location, etag] = ["location", "etag"].map((name) => response.headers.get(name));
  await pc.setRemoteDescription({ type: "answer", sdp: answer });
  if (trickle) {
    while (!candidates.length) await new Promise((ready) => setTimeout(ready, 50));
    const ufrag = /a=ice-ufrag:(\S+)/.exec(pc.localDescription.sdp)[1];
    const pwd = /a=ice-pwd:(\S+)/.exec(pc.localDescription.sdp)[1];
    const body = [`a=ice-ufrag:${ufrag}`, `a=ice-pwd:${pwd}`, "m=audio 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0", ...candidates.map((c) => `a=${c}`), ""];
    const headers = { "content-type": "application/trickle-ice-sdpfrag", "if-match": etag, authorization };
    const trickled = await fetch(new URL(location, url), { method: "PATCH", headers, body: body.join("\r\n") });
    if (trickled.status !== 204) throw new Error(`trickle gave ${trickled.status} ${await trickled.text()}`);
  }
  return { location, etag, answer, offer: pc.localDescription.sdp };
}

/** `viewer` plays what there is in a room, or will be; with `red`, redundant audio too. */
export async function playWhip(suite, viewer, room, { red = true } = {}) {
  const token = await suite.server.token(viewer.identity, room);
  await viewer.page.evaluate(startPlaying, { url: endpointOf(suite), token, red });
}

/** Runs in the page. */
async function startPlaying({ url, token, red }) {
  const pc = (window.whip = new RTCPeerConnection());
  const [sound] = ["audio", "video"].map((kind) => pc.addTransceiver(kind, { direction: "recvonly" }));
  const known = RTCRtpReceiver.getCapabilities("audio").codecs;
  if (!red) sound.setCodecPreferences(known.filter(({ mimeType }) => mimeType !== "audio/red"));
  await pc.setLocalDescription();
  const headers = { "content-type": "application/sdp", authorization: `Bearer ${token}` };
  const response = await fetch(url, { method: "POST", headers, body: pc.localDescription.sdp });
  if (response.status !== 201) throw new Error(`${response.status} ${await response.text()}`);
  await pc.setRemoteDescription({ type: "answer", sdp: await response.text() });
  const video = (window.screened = Object.assign(document.createElement("video"), { autoplay: true }));
  video.srcObject = new MediaStream(pc.getReceivers().map(({ track }) => track));
  document.body.append(video);
}

/** What a page has played. */
export const playedByWhip = (viewer) =>
  viewer.page.evaluate(async () => {
    const stats = [...(await window.whip.getStats()).values()].filter(({ type }) => type === "inbound-rtp");
    const sum = (kind, what) => stats.filter((s) => s.kind === kind).reduce((all, s) => all + (s[what] ?? 0), 0);
    return {
      width: window.screened.videoWidth,
      frames: sum("video", "framesDecoded"),
      sound: sum("audio", "totalAudioEnergy"),
      packets: sum("audio", "packetsReceived"),
      discarded: sum("audio", "packetsDiscarded"),
    };
  });
