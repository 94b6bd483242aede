"""The OpenAPI document, made from the declarations of the operations.

Nothing of it is imported before a client requests the document.
"""
