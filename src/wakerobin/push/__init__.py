"""The push services: each an adapter of `ports.push` over our own HTTP/2 connections."""
