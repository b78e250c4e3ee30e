# O que os comandos respondem.

## O que o bot é

book = { $name ->
    [nietzsche] “Além do Bem e do Mal” e “Humano, Demasiado Humano”, de Nietzsche
   *[other] { $name }
}
greeting = Escrevo à maneira de { $book }, um caractere depois do outro. Experimente /{ $voice } 0,7 — o número é a temperatura, de { $min } (prudente) a { $max } (selvagem). O /help lista o resto.
greeting-voices = O /voices lista as vozes que conheço.
voice-restarts = está reiniciando; tente de novo em um minuto
welcome = Olá! Escrevo à maneira de { $book }. Digite /{ $voice }, ou me mencione com o começo de um texto; responda a um texto seu, e eu continuo dali. O /help lista o resto.
summary = pesos { $version } · { NUMBER($bits, minimumFractionDigits: 2, maximumFractionDigits: 2) } bits por caractere · treinados com { $corpus }
about-book = Escrevo à maneira de { $book }: sou uma rede recorrente que aprendeu com os { $characters } caracteres dessa obra e sorteia os meus um a um.
about-pretraining = Antes disso, ela leu outros textos: { $texts }.
about-start = Ela partiu dos pesos { $version }.
about-weights = Pesos: { $version } ({ $preset }, { $parameters } parâmetros).
about-quality = Num texto que nunca vi, fico tão em dúvida sobre o próximo caractere como se tivesse de escolher entre { NUMBER($choices, minimumFractionDigits: 1, maximumFractionDigits: 1) }; quem adivinha às cegas escolhe entre { $symbols }.
about-figures = Em números: { NUMBER($valid, minimumFractionDigits: 3, maximumFractionDigits: 3) } bits por caractere (validação; teste: { NUMBER($test, minimumFractionDigits: 3, maximumFractionDigits: 3) }; às cegas: { NUMBER($blind, minimumFractionDigits: 1, maximumFractionDigits: 1) }). Quanto menos, melhor.
about-license = O texto com que aprendi: { $license }
about-curve = Como aprendi: /about { $arguments }
about-card = Uma frase minha, sombreada: { $text }
button-curve = Curva de treino
curve = Curva de treinamento de { $version }: bits por caractere no treinamento e na validação, época por época. A época escolhida chega a { NUMBER($bits, minimumFractionDigits: 3, maximumFractionDigits: 3) } num texto que ela nunca viu.

## Textos

rung = Temperatura { $temperature }
ladder-ignores = O /ladder tem as suas próprias temperaturas, por isso ignorei a temperatura { $temperature }.
ladder-end = O /continue continua o último destes textos.
not-saved = Não consegui guardar este texto; por isso, o /continue e o /again não o conhecem.
prompt-shortened = Essa abertura é longa, por isso li os últimos { $characters } caracteres dela.
prompt-changed = { $change ->
    [dropped] Deixei de fora { $dropped }
    [replaced] Escrevi { $replaced }
   *[both] Deixei de fora { $dropped } e escrevi { $replaced }
}: { $count ->
    [0] não sobrou nada da abertura, então comecei por conta própria
    [one] minha rede nunca viu esse caractere
   *[other] minha rede nunca viu esses caracteres
}.
temperature-hint = Para escolher a temperatura, comece com um número e um espaço: /{ $voice } 0,7 …
prompt-replacement = “{ $plain }” em vez de “{ $typed }”
and-more = { $items } e mais { $more }
button-nearest = Escrever a { $temperature }
button-again = De novo
button-continue = Continuar
button-hotter = Mais quente ({ $temperature })
button-colder = Mais frio ({ $temperature })
button-surprise = Surpresa
button-keep = Sempre { $temperature }

## A temperatura do usuário

temperature-own = A sua temperatura é { $own }. /temperature default volta para { $default }.
temperature-none = Você ainda não tem uma temperatura sua, então uso { $default }. Para definir uma: /temperature 0,8
suggestion = { $temperature } — { $word }
suggestion-typed = { $temperature }
suggestion-own = a sua
suggestion-default = padrão
suggestion-careful = prudente, se repete
suggestion-calm = calma
suggestion-balanced = equilibrada
suggestion-lively = animada
suggestion-wild = selvagem, inventa palavras

## /surprise

surprise-mean = O seu texto me surpreende em { NUMBER($bits, minimumFractionDigits: 2, maximumFractionDigits: 2) } bits por caractere.
surprise-words = O que eu menos esperava: { $words }.
surprise-word = “{ $word }” ({ $bits ->
    [one] { $bits } bit
   *[other] { $bits } bits
})
surprise-written-by = Quem o escreveu foi { $author }; a surpresa é a de { $version }, a versão em uso agora.
surprise-picture = Um texto de { $characters } caracteres, cada um sobre um fundo tanto mais escuro quanto menos era esperado, de 0 bits (certeza) a 6 (uma chance em 64) ou mais; { NUMBER($bits, minimumFractionDigits: 2, maximumFractionDigits: 2) } em média. As primeiras letras das palavras costumam ser as mais escuras.
surprise-scale = bits por caractere:
# Onde o terminal não tem cores.
surprise-underlined = sublinhado: { $bits } ou mais
surprise-bold = também em negrito: { $bits } ou mais

## /language

language-own = Falo { $name } com você. /language auto volta para o idioma do seu aplicativo.
language-group = Aqui falo { $name }, o idioma deste grupo. Para definir outro só para você: /language english
language-automatic = Falo { $name } com você, o idioma do seu aplicativo. Para definir outro: /language english
button-automatic = Automático

## /forgetme

forget-confirm = Isto apaga tudo o que guardo sobre você: o que você definiu e os seus últimos textos. Não dá para desfazer.
forget-repeat = Para confirmar, digite /forgetme outra vez.
forget-nothing = Eu não guardava nada sobre você.
forget-done = Pronto: { $rows ->
    [one] { $rows } registro apagado
   *[other] { $rows } registros apagados
}, tudo o que eu guardava sobre você.
button-forget = Apagar tudo

## Para quem opera o bot

reload-added = /{ $command } agora existe, com { $now }.
reload-done = Agora { $now } está em uso, no lugar de { $before }.
reload-removed = /{ $command } não existe mais.
reload-configured = Também li a configuração: [voices], [bot] e [access] estão em vigor.
reload-unchanged = { $now } já está em uso; CURRENT não nomeia outra versão.
statistics =
    pesos: { $version }
    textos: { $texts } escritos, { $refused } recusados, { $failed } com falha
    agora: { $running } em andamento, { $waiting } na fila
statistics-characters = caracteres: { $characters }
statistics-speed = caracteres: { $characters }, a { NUMBER($speed, maximumFractionDigits: 0) } por segundo

## /cancel e /privacy

cancel-done = { $texts ->
    [one] Parei o que estava escrevendo para você aqui.
   *[other] Parei os { $texts } textos que estava escrevendo para você aqui.
}
cancel-nothing = Não estou escrevendo nada para você aqui.
privacy-kept = Guardo o que preciso para escrever para você: os seus dez últimos textos em cada conversa, com as suas aberturas, para que você possa continuá-los, e o que você definiu, como uma temperatura.
privacy-days = { $days ->
    [0] Os textos ficam até você apagá-los.
    [one] Os textos são apagados depois de um dia.
   *[other] Os textos são apagados depois de { $days } dias.
} O que você definiu fica até você apagar.
privacy-log = O meu registro não tem nenhuma palavra do que você escreve. /forgetme apaga tudo sobre você de uma vez.
# Where there are quotas.
privacy-quota = Também conto os textos de cada dia, para um limite diário: sem o seu nome nem o seu número, e só até a meia-noite (UTC). O /forgetme não apaga essa conta.
privacy-operator = Quem me mantém: { $contact }
privacy-no-operator = Quem me mantém não deixou um contato aqui. Pergunte a quem me adicionou.

## /length e /settings

length-own = Os seus textos têm cerca de { $own } caracteres. /length default volta a { $default }.
length-none = Você não definiu um tamanho, então os seus textos têm cerca de { $default } caracteres. Defina um: /length 800
settings-own = As suas configurações
settings-group = Os padrões deste grupo
settings-temperature = Temperatura: { $value }{ $source ->
    [default] {" "}(padrão)
   *[own] {""}
}
settings-length = Tamanho: cerca de { $value } caracteres{ $source ->
    [default] {" "}(padrão)
   *[own] {""}
}
settings-language = Idioma: { $value }
settings-language-automatic = o do aplicativo
settings-voice = Voz: { $value }{ $source ->
    [default] {" "}(padrão)
   *[own] {""}
}
settings-access = Quem pode pedir textos aqui: { $value ->
    [administrators] administradores
   *[everyone] todos
}
settings-how = Qualquer outro valor: /temperature 0,65, /length 1000, /language
button-shorter = Mais curto ({ $length })
button-longer = Mais longo ({ $length })
button-administrators = Só administradores
button-everyone = Todos podem pedir
button-defaults = Voltar aos padrões
button-group = Padrões deste grupo
button-own = As suas configurações
