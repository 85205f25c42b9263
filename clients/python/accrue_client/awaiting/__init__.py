"""The client for asyncio: what `blocking` offers, awaited."""
