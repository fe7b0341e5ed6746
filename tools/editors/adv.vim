" Vim syntax of recipes. Copy to ~/.vim/syntax/adv.vim, and put into ~/.vim/ftdetect/adv.vim:
"   autocmd BufRead,BufNewFile *.adv setfiletype adv
if exists("b:current_syntax")
  finish
endif

syn match advNumber "\(\k\|\.\)\@<!\d\+\(\.\d\+\)\=\([eE][+-]\=\d\+\)\="
syn match advOperator "->\|<-\|=>\|||\|\.\.\|==\|!=\|<=\|>=\|[-+*/^<>=]"
syn match advCall "\(\k\|\.\)\@<!\h\w*(\@="
syn keyword advWord if then else and or not over to as in
" words that are keywords only where a statement begins: elsewhere they are names like any other
syn match advImport "\(^\|[{;]\)\@<=\s*\(adv\|use\)\>"
syn match advDeclaration "\(^\|[{;]\)\@<=\s*\(param\|net\|fn\|loss\|attack\|model\|optim\|signal\|state\)\>\s\+\h\@="
syn match advSection "\(^\|[{;]\)\@<=\s*\(data\|budget\|step\|phase\|train\|eval\|run\|epoch\)\>\([^={]*{\)\@="
syn match advStatement "\(^\|[{;]\)\@<=\s*\(carry\|return\|within\|touch\|minimize\|maximize\|apply\|repeat\|replay\|with\)\>\(\s*[(=,]\)\@!"
syn region advString start=+"+ skip=+\\.+ end=+"+ oneline
syn match advComment "#.*$" contains=@Spell

hi def link advNumber Number
hi def link advOperator Operator
hi def link advCall Function
hi def link advWord Keyword
hi def link advImport Include
hi def link advDeclaration Type
hi def link advSection Structure
hi def link advStatement Statement
hi def link advString String
hi def link advComment Comment

let b:current_syntax = "adv"
