"""Who asks: found once for each request, before anything of its body is read, and what that allows."""
