"""The pipe every process stands on: journal, queue, storage, settings, telemetry."""
