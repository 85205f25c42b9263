"""Access: keys, scopes, rate limits, quotas and idempotency keys."""
