" Vim syntax file
" Language: xfw, the policies of xfwc
" Made from the table of keywords: XFWC_UPDATE=1 go test ./lang writes it anew.

if exists('b:current_syntax')
  finish
endif

syn case match
" All that a word may hold, but >. So a word that touches an arrow is not seen as
" what it is: the one format has a space there.
syn iskeyword 33,36-38,40-43,45-58,60,63-91,93-95,97-122,124

syn keyword xfwStatement anonymous egress include media policy serverless test waive
syn keyword xfwStatement content domains network pattern point server window words nextgroup=xfwName skipwhite
syn keyword xfwStatement zone nextgroup=xfwName skipwhite
syn keyword xfwSetting address advertise auth bidi bosh buffering catch certificate
syn keyword xfwSetting comply compression config credentials default direct-tls direction domain
syn keyword xfwSetting during exclusive expires frame from haproxy host-meta hostname
syn keyword xfwSetting identity idle interface limit lockout match max-age max-change
syn keyword xfwSetting methods mode nftables nginx only origin owner pass
syn keyword xfwSetting polling port ports private-peers profile quic registration relay
syn keyword xfwSetting resolver role route scope sessions size slot snort
syn keyword xfwSetting software squid starttls storage suricata then ticket timeout
syn keyword xfwSetting trust tunnel upload wait websocket with
syn keyword xfwClause after alpn and at because before burst except
syn keyword xfwClause faces feed global of offload over passive per
syn keyword xfwClause prefix to until
syn keyword xfwConstant GET HEAD OPTIONS POST PUT accept account alert
syn keyword xfwConstant any attempts bandwidth baseline block both cleared clients-tls
syn keyword xfwConstant close closed component-tls connect connections dane dialback dns
syn keyword xfwConstant drop enforce external federation-tls fri gateway http https
syn keyword xfwConstant in internet invite kept ldap link logins mon
syn keyword xfwConstant mqtt namespace negotiation nist-800-41 none ntp observe off
syn keyword xfwConstant open optional out outgoing pci-dss-4.0 pkix posh recipient
syn keyword xfwConstant recipients registrations reject required resources sat self-signed sender
syn keyword xfwConstant smtp source ssh stanza stanzas stream strict sun
syn keyword xfwConstant tcp terminate text thu tue udp url valid
syn keyword xfwConstant validating wed

syn match xfwConstant "\v<%(mon|tue|wed|thu|fri|sat|sun)-%(mon|tue|wed|thu|fri|sat|sun)>"
syn match xfwNumber "\v<%(tcp|udp)/[0-9]+%(-[0-9]+)?>"
syn match xfwNumber "\v<[0-9]+%([./-][0-9]+)*>"
syn match xfwAddress "\v<[0-9A-Fa-f]{0,4}[:][0-9A-Fa-f]{0,4}[:][0-9A-Fa-f:.]*%(/[0-9]{1,3})?>"
syn match xfwAddress "\v<[0-9]{1,3}%([.][0-9]{1,3}){3}%(/[0-9]{1,2})?%([:][0-9]+)?>"
syn match xfwNumber "\v<[0-9]+[%]>"
syn match xfwNumber "\v<[0-9]+[smhd]>"
syn match xfwNumber "\v<[0-9]+%([kMG]|[KMG]i)?B>"
syn match xfwNumber "\v<[0-9]+%([kKMG]?i?B)?/%(second|minute|hour|day|s|min|h|d)>"
syn match xfwNumber "\v<[0-9]{2}:[0-9]{2}%(-[0-9]{2}:[0-9]{2})?>"
syn match xfwNumber "\v<[0-9]{4}-[0-9]{2}-[0-9]{2}>"

" These are values, but keywords where a statement starts.
syn match xfwConstant "\v<%(admin|allow|body|clients|cluster|component|deny|ejabberd|federation|host|metronome|mongooseim|on|openfire|peer|prosody|proxy65|requests|sasl|stun|tigase|tls|web)>"
syn match xfwStatement "\v%(%(^|[{])\s*)@<=%(admin|allow|clients|cluster|deny|federation|web)>"
syn match xfwStatement "\v%(%(^|[{])\s*)@<=%(component)>" nextgroup=xfwName skipwhite
syn match xfwSetting "\v%(%(^|[{])\s*)@<=%(body|ejabberd|host|metronome|mongooseim|on|openfire|prosody|proxy65|requests|sasl|stun|tigase|tls)>"
syn match xfwSetting "\v%(%(^|[{])\s*)@<=%(peer)>" nextgroup=xfwName skipwhite
syn match xfwName "\v<[a-z0-9][a-z0-9.-]*>" contained

syn match xfwOperator "->\|[=~]"
syn match xfwEscape "\\." contained
syn region xfwString start=+"+ skip=+\\.+ end=+"+ oneline contains=xfwEscape
syn match xfwComment "#.*$" contains=@Spell

hi def link xfwStatement Statement
hi def link xfwSetting Type
hi def link xfwClause Keyword
hi def link xfwConstant Constant
hi def link xfwNumber Number
hi def link xfwAddress Number
hi def link xfwName Identifier
hi def link xfwOperator Operator
hi def link xfwEscape SpecialChar
hi def link xfwString String
hi def link xfwComment Comment

let b:current_syntax = 'xfw'
