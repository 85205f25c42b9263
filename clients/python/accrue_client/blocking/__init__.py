"""The client for programs that block. `awaiting` has the same for asyncio."""
