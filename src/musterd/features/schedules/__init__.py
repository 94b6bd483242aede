"""Schedules: runs that start at the instants of a cron expression, or once, each instant at most once."""
