"""The OpenAPI document, as data: handlers read requests by hand, so what they take and answer is written here.

Nothing of it is imported before somebody asks for the document.
"""
