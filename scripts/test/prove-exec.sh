#!/bin/bash
# prove calls this for each test: runs a compiled test directly, a .t with perl.
case $1 in
*.t) exec perl "$@" ;;
*) CMOCKA_MESSAGE_OUTPUT=TAP exec "$@" ;;
esac
