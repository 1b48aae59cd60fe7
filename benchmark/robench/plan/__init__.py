"""Turns a suite into victims, cells and tables, without reading data."""
