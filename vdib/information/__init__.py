"""How much a code of spikes carries, from above and from below; see `docs/information.md`."""
