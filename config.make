# nginx's build hook, like config: the page of weir_dashboard becomes C. See nginx's auto/make.

weir_page_dir=$ngx_addon_dir/ngx_module/dashboard/page

cat << END                                                    >> $NGX_MAKEFILE

$NGX_OBJS/ngx_http_weir_dashboard_page.c:	\
	$(echo $weir_page_dir/* $ngx_addon_dir/scripts/build/embed-page.sh)
	$ngx_addon_dir/scripts/build/embed-page.sh $weir_page_dir > \$@.new
	mv \$@.new \$@
END
