"""From a recording to another, to spikes, to looks at it."""
