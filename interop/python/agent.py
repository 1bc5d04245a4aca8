"""A LiveKit Agents program without a model: takes every job it is offered, and publishes a tone in its room.

Run as `agent.py start`, with LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET, and AGENT_NAME (empty: sent to every room).
"""

import asyncio
import math
import os
import struct

from livekit import rtc
from livekit.agents import AutoSubscribe, JobContext, JobExecutorType, WorkerOptions, cli

RATE = 48_000
STEP = RATE // 100


async def entrypoint(job: JobContext):
    await job.connect(auto_subscribe=AutoSubscribe.SUBSCRIBE_NONE)
    await job.room.local_participant.set_attributes({"metadata": job.job.metadata, "agent": job.job.agent_name})
    source = rtc.AudioSource(RATE, 1)
    track = rtc.LocalAudioTrack.create_audio_track("tone", source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    await job.room.local_participant.publish_track(track, options)

    async def play():
        at = 0
        while True:
            samples = [int(12_000 * math.sin(2 * math.pi * 440 * (at + i) / RATE)) for i in range(STEP)]
            at += STEP
            await source.capture_frame(rtc.AudioFrame(struct.pack(f"<{STEP}h", *samples), RATE, 1, STEP))

    playing = asyncio.create_task(play())

    async def stop():
        playing.cancel()

    job.add_shutdown_callback(stop)


if __name__ == "__main__":
    cli.run_app(
        WorkerOptions(
            entrypoint_fnc=entrypoint,
            agent_name=os.environ.get("AGENT_NAME", ""),
            # A process of its own for each job would take longer to start than the test lasts.
            job_executor_type=JobExecutorType.THREAD,
            num_idle_processes=0,
            # A busy machine is no reason to refuse jobs here.
            load_fnc=lambda *_: 0.0,
            port=0,
        )
    )
