autocmd BufNewFile,BufRead *.xfw setfiletype xfw
