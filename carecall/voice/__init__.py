"""The live call on pipecat: the pipeline, turn taking, recording and latency."""
