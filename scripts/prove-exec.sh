#!/bin/bash
# What prove runs for each test: a compiled test as it is, a .t with perl.
case $1 in
*.t) exec perl "$@" ;;
*) exec "$@" ;;
esac
