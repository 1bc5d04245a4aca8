"""Plays an address on and on with the FFmpeg of PyAV: decodes everything, and writes a line for each packet.

The lines are those of FFmpeg's framecrc, as far as harness/ffmpeg.js reads them. That FFmpeg is newer than the ones that
come as programs, and knows Opus in FLV (enhanced RTMP v2).
"""

import sys

import av

av.logging.set_level(av.logging.WARNING)


def say(line):
    print(line, flush=True)


def main(url):
    with av.open(url) as given:
        for stream in given.streams:
            base = stream.time_base
            say(f"#tb {stream.index}: {base.numerator}/{base.denominator}")
            say(f"#media_type {stream.index}: {stream.type}")
            say(f"#codec_id {stream.index}: {stream.codec_context.codec.canonical_name}")
        for packet in given.demux():
            if packet.dts is not None:
                say(f"{packet.stream.index}, {packet.dts}, {packet.pts}")
            packet.decode()


main(*sys.argv[1:])
