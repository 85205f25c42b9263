"""Who may do what: keys, scopes, rate limits and quotas."""
