# O que é de uma só plataforma.

# Discord
whole-text-in-file = O resto não cabe aqui. O arquivo abaixo tem o texto inteiro.

# Telegram: `@bot 0,7 abertura`, digitado em qualquer chat
inline-hint = Digite como o texto deve começar, ou nada
inline-voice = { $book }, a { $temperature }
inline-typed = { $temperature } — como você digitou
inline-out-of-range = A temperatura vai de { $min } a { $max }
inline-placeholder = Escrevendo …
inline-wait = O texto toma o lugar desta mensagem assim que estiver pronto.

# O Telegram mostra o primeiro num chat ainda vazio, até 512 caracteres; o segundo no perfil, até 120.
profile = Escrevo à maneira de { $book }, um caractere após o outro. Mande-me como um texto deve começar, ou só /{ $voice }. Num grupo, mencione-me, ou responda a um texto seu e eu sigo a partir dele.
profile-short = Escrevo à maneira de { $book }.

# O terminal
cancelled = Parei.
how-to-leave = Ctrl-D sai; o /help lista os comandos.
picture-file = A curva de treinamento é uma imagem: { $path }
