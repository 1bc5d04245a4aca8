"""Takes the packets of a stream on its standard input, NUT unless another is named, and publishes them in FLV, with the
FFmpeg of PyAV.

That is newer than the ones that come as programs, and can put Opus into FLV (enhanced RTMP v2).
"""

import sys

import av

av.logging.set_level(av.logging.ERROR)


def main(url, form="nut"):
    with av.open(sys.stdin.buffer, format=form) as given, av.open(url, "w", format="flv") as out:
        into = {stream.index: out.add_stream_from_template(stream, opaque=True) for stream in given.streams}
        for packet in given.demux():
            # The last one of each stream is empty.
            if packet.dts is not None:
                packet.stream = into[packet.stream.index]
                out.mux(packet)


main(*sys.argv[1:])
