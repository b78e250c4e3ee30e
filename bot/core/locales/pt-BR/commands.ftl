# Os comandos: o que cada um faz, em poucas palavras, para os menus e o /help. O nome de um comando não se traduz.

command-nietzsche = um texto; /nietzsche 0,7 The philosopher
    .arguments = [temperatura] [abertura]
    .temperature = a ousadia: { $min } é prudente, { $max } é selvagem
    .temperature-name = temperatura
    .prompt = como o texto começa
    .prompt-name = abertura
    .length = cerca de quantos caracteres; termina com uma frase, abaixo de 60 com a primeira
    .length-name = tamanho
command-continue = continua o seu último texto aqui
command-again = a mesma abertura e temperatura, outro sorteio
command-temperature = mostra, define ou apaga a sua temperatura
    .arguments = [valor|default]
    .value = de { $min } a { $max }, ou default; sem valor, mostra a sua
    .value-name = valor
command-ladder = a mesma abertura em cinco temperaturas
    .arguments = [abertura]
    .prompt = como o texto começa
    .prompt-name = abertura
command-surprise = o seu último texto, sombreado pelo quanto cada caractere me surpreendeu
command-about = de que sou feito e quão bom eu sou
command-forgetme = apaga tudo o que guardo sobre você
command-help = esta lista
command-start = uma saudação
command-reload = carrega os pesos que CURRENT nomeia
command-stats = o que o gerador está fazendo
help-line = { $usage } — { $purpose }
