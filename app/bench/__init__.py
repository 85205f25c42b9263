"""`accrue bench`: compares methods on a user's images, over HTTP as any client would."""
