"""Service accounts: users that are programs. Their tokens are issued by this server, and can be revoked."""
