# O que é de uma só plataforma.

# Discord
whole-text-in-file = O resto não cabe aqui. O arquivo abaixo tem o texto inteiro.

# Telegram: `@bot 0,7 abertura`, digitado em qualquer chat
inline-title = Escrever um texto
inline-hint = 0,7 e uma abertura, ou nada
inline-placeholder = Escrevendo …
inline-wait = O texto toma o lugar desta mensagem assim que estiver pronto.

# O terminal
cancelled = Parei.
how-to-leave = Ctrl-D sai; o /help lista os comandos.
picture-file = A curva de treinamento é uma imagem: { $path }
