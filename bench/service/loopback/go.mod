module chatbot.dev/bench

go 1.22
