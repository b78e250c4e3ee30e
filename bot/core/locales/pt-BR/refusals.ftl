# Por que algo não é feito, e o que fazer em vez disso.

no-argument = Não se escreve nada depois de /{ $command }. Para outra abertura ou temperatura, digite /{ $voice }.
no-text = Você ainda não tem um texto aqui. Comece um com /{ $voice }.
old-text = Guardo os seus dez últimos textos daqui, e este é mais antigo. Comece um novo com /{ $voice }.
voice-gone = A voz { $name } não está mais aqui. Comece um texto novo; o /voices lista as vozes que conheço.
not-your-text = Isso é de outra pessoa. Peça o seu, por exemplo com /{ $voice }.
no-such-button = Esse botão não funciona mais. Comece um texto novo com /{ $voice }.
unknown-command = Não existe o comando /{ $command }. O /help lista os comandos.
unknown-command-nearest = Não existe o comando /{ $command }. Você quis dizer /{ $nearest }?
words-only = Só sei ler palavras: mande o começo de um texto, ou /help.
unknown-language = Não falo { $typed }. Conheço: { $known }. Digite /language e um destes, ou /language auto.
not-a-temperature = { $typed } não é uma temperatura. Use um número de { $min } (prudente) a { $max } (selvagem), como em /temperature 0,7, ou /temperature default. Para começar um texto assim, digite /{ $voice } 0,7 { $typed } …
out-of-range = { $typed } está fora da faixa: uma temperatura é um número de { $min } (prudente) a { $max } (selvagem), e o mais próximo é { $nearest }. Digite /temperature 0,7 ou /temperature default. Para começar um texto assim, digite /{ $voice } 0,7 { $typed } …
invalid-request = A minha rede não consegue fazer isso. Tente /{ $voice } 0,7.
outdated-form = Não entendo essa forma de /{ $command }. Espere um minuto até o Discord conhecer a nova e tente de novo.
queue-full = Você tem pedidos demais na fila, então pulei este. Peça de novo quando os outros estiverem respondidos.
chat-full = O Telegram não me deixa falar tanto num só chat. Peça de novo daqui a um minuto.
overloaded = Há pedidos demais agora. Tente de novo daqui a alguns segundos.
overloaded-texts = Muita gente quer um texto agora. Tente de novo daqui a { $seconds ->
    [one] um segundo
   *[other] { $seconds } segundos
}.
cooldown = Só um momento: você pode pedir o próximo texto daqui a { $seconds ->
    [one] um segundo
   *[other] { $seconds } segundos
}.
restarting = Estou reiniciando. Tente de novo daqui a um minuto.
model-failed = Esse texto deu errado enquanto eu escrevia. Tente de novo.
unavailable = O gerador não está acessível agora. Tente de novo daqui a um minuto.
weights-refused = Os pesos continuam como estavam. O registro diz, em inglês: “{ $reason }”
store-failed = Não consigo acessar o meu banco de dados agora, e preciso dele para isso. Tente de novo daqui a um minuto.
unconfirmed = Minha última mensagem talvez não tenha chegado até você. Se ela não estiver aqui, peça de novo.
unexpected = Algo deu errado do meu lado, e está no registro. Por favor, tente de novo.
only-in-private = /{ $command } mostra o que não é para todos aqui. Envie-o para mim em uma conversa privada.
not-allowed = Não respondo aqui: quem me mantém decide quem pode me usar, e onde.
# $left: what is left of the day's $limit. $hours, $minutes: until the next day.
quota = { $left ->
    [0] { $scope ->
        [chat] Este chat já usou { $unit ->
            [texts] { $limit ->
                [one] o texto
               *[other] os { $limit } textos
            }
           *[characters] os { $limit } caracteres
        }
       *[user] Você já usou { $unit ->
            [texts] { $limit ->
                [one] o seu texto
               *[other] os seus { $limit } textos
            }
           *[characters] os seus { $limit } caracteres
        }
    } de hoje.
   *[other] { $scope ->
        [chat] Restam a este chat
       *[user] Restam a você
    } hoje { $left } de { $limit } { $unit ->
        [texts] textos
       *[characters] caracteres
    }, e isso pediria mais.
} Posso escrever mais daqui a { $hours ->
    [0] { $minutes ->
        [one] um minuto
       *[other] { $minutes } minutos
    }
    [one] uma hora
   *[other] { $hours } horas
}.
config-refused = A configuração continua como estava. O registro diz, em inglês: “{ $reason }”
not-a-length = { $typed } não é um tamanho. Use um número inteiro de 1 a { $longest } caracteres, como em /length 800, ou /length default.
administrators-only = Só administradores deste grupo podem mudar isso.
administrators-write = Neste grupo escrevo só para os administradores. Você pode escrever para mim em uma conversa privada.
no-curve = Estes pesos não têm curva de treino. /about diz o que eles são.
